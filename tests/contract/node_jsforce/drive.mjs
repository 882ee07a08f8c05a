// Drives a Salesforce server with jsforce and prints what it saw as one JSON object.
// Usage: node drive.mjs <login url>; user name, password and OAuth client come as JSON on standard input.
import { readFileSync } from "node:fs";
import { Connection, OAuth2 } from "jsforce";

const loginUrl = process.argv[2];
const known = JSON.parse(readFileSync(0, "utf8"));
const seen = {};

async function refused(attempt) {
  try {
    await attempt();
    return "accepted";
  } catch (error) {
    return error.errorCode ?? error.message.split(":")[0];
  }
}

const connection = new Connection({ loginUrl, version: "60.0", maxRequest: 4 });
const user = await connection.login(known.username, known.password + known.security_token);
seen.login = { organization: user.organizationId, instance: connection.instanceUrl };
seen.wrong_password = await refused(() => new Connection({ loginUrl }).login(known.username, "wrong"));

const oauth2 = new OAuth2({ loginUrl, clientId: known.client_id, clientSecret: known.client_secret, redirectUri: "http://localhost" });
const byOauth = new Connection({ oauth2, version: "60.0" });
await byOauth.login(known.username, known.password);
seen.identity = (await byOauth.identity()).username;

const versions = await connection.request("/services/data");
seen.versions = versions.some((version) => version.version === "60.0");
seen.objects = (await connection.describeGlobal()).sobjects.map((found) => found.name);
seen.fields = (await connection.describe("Contact")).fields.length;
seen.limit = connection.limitInfo.apiUsage.limit;

const first = await connection.query("SELECT Id, Account.Name FROM Contact ORDER BY Id");
const second = await connection.queryMore(first.nextRecordsUrl);
seen.pages = [first.totalSize, first.records.length, second.records.length, second.done];
seen.parent = first.records[0].Account.Name;
const all = await connection.query("SELECT Id FROM Contact").run({ autoFetch: true, maxFetch: 100000 });
seen.fetched = new Set(all.records.map((record) => record.Id)).size;
seen.found = await connection.sobject("Account").find({ Name: { $like: "Acme%" } }, "Name, BillingCity").limit(5).execute();
seen.found = seen.found.map((record) => record.BillingCity);
seen.counted = await connection.sobject("Account").count({ Industry: "Energy" });
seen.mistake = await refused(() => connection.query("SELECT Nothing FROM Account"));

const created = await connection.sobject("Account").create({ Name: "Hooli", Tax_Number__c: "US-9" });
await connection.sobject("Account").update({ Id: created.id, Industry: "Retail" });
const upserted = await connection.sobject("Account").upsert({ Tax_Number__c: "US-9", Rating: "Hot" }, "Tax_Number__c");
const read = await connection.sobject("Account").retrieve(created.id);
seen.written = [created.success, upserted.success, read.Industry, read.Rating];
const several = await connection.sobject("Contact").create([{ LastName: "One" }, { Title: "nameless" }], { allOrNone: false });
seen.several = several.map((result) => result.success || result.errors[0].statusCode);
await connection.sobject("Account").destroy(created.id);
seen.gone = await refused(() => connection.sobject("Account").retrieve(created.id));
const since = new Date(Date.now() - 3600_000).toISOString();
const until = new Date(Date.now() + 3600_000).toISOString();
const deleted = await connection.sobject("Account").deleted(since, until);
seen.deleted = deleted.deletedRecords.map((record) => record.id === created.id);

connection.bulk2.pollInterval = 100;
const stream = await connection.bulk2.query("SELECT Id, Name FROM Contact");
seen.bulk_query = (await stream.toArray()).length;
const loaded = await connection.bulk2.loadAndWaitForResults({
  object: "Contact",
  operation: "insert",
  input: [
    { FirstName: "Ann", LastName: 'Bulk, "quoted"' },
    { FirstName: "nameless", LastName: "" },
  ],
});
seen.bulk_load = [loaded.successfulResults.length, loaded.failedResults.length, loaded.unprocessedRecords.length];
seen.bulk_error = loaded.failedResults[0].sf__Error.split(":")[0];

const composite = await connection.requestPost("/composite", {
  allOrNone: true,
  compositeRequest: [
    { method: "POST", url: "/services/data/v60.0/sobjects/Account", referenceId: "a", body: { Name: "Composite" } },
    { method: "POST", url: "/services/data/v60.0/sobjects/Contact", referenceId: "c", body: { LastName: "Child", AccountId: "@{a.id}" } },
  ],
});
seen.composite = composite.compositeResponse.map((part) => part.httpStatusCode);

const expired = new Connection({
  instanceUrl: connection.instanceUrl,
  accessToken: "00D!expired",
  version: "60.0",
  refreshFn: (_, done) => done(null, connection.accessToken),
});
seen.renewed = (await expired.query("SELECT COUNT() FROM User")).totalSize;
const left = new Connection({ instanceUrl: byOauth.instanceUrl, accessToken: byOauth.accessToken, version: "60.0" });
await byOauth.logout();
seen.logged_out = await refused(() => left.query("SELECT Id FROM User"));
console.log(JSON.stringify(seen));
