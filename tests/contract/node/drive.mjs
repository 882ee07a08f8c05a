// Drives an SAP server with the SAP Cloud SDK and SAP's published client of the business partner and sales order services.
// Prints one JSON object: what each step saw. The Python test judges it.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { executeHttpRequest } = require("@sap-cloud-sdk/http-client");
const { businessPartnerService } = require("@sap/cloud-sdk-vdm-business-partner-service");
const { salesOrderService, batch, changeset } = require("@sap/cloud-sdk-vdm-sales-order-service");
const { and, asc, or } = require("@sap-cloud-sdk/odata-v2");

const destination = {
  url: process.env.SAP_URL,
  authentication: "BasicAuthentication",
  username: process.env.SAP_USER,
  password: process.env.SAP_PASSWORD,
};
const { businessPartnerApi } = businessPartnerService();
const { salesOrderApi, salesOrderItemApi } = salesOrderService();
const order = salesOrderApi.schema;
const V4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001";

const root = (error) => {
  for (let cause = error; cause; cause = cause.cause) if (cause.response) return cause.response;
  throw error;
};

const steps = {
  async reads() {
    const found = await salesOrderApi
      .requestBuilder()
      .getAll()
      .select(order.SALES_ORDER, order.TOTAL_NET_AMOUNT, order.LAST_CHANGE_DATE_TIME, order.CREATION_DATE)
      .orderBy(asc(order.SALES_ORDER))
      .top(3)
      .execute(destination);
    return found.map((row) => ({
      order: row.salesOrder,
      amount: row.totalNetAmount.toString(),
      changed: row.lastChangeDateTime.toISOString(),
      created: row.creationDate.toISOString(),
    }));
  },
  async filters() {
    const found = await salesOrderApi
      .requestBuilder()
      .getAll()
      .filter(and(or(order.SALES_ORDER.equals("7"), order.SALES_ORDER.equals("8")), order.SOLD_TO_PARTY.equals("103")))
      .execute(destination);
    return found.map((row) => row.salesOrder);
  },
  async counts() {
    return await salesOrderApi.requestBuilder().getAll().filter(order.SOLD_TO_PARTY.equals("103")).count().execute(destination);
  },
  async expands() {
    const row = await salesOrderApi
      .requestBuilder()
      .getByKey("3")
      .select(order.SALES_ORDER, order.TO_ITEM.select(salesOrderItemApi.schema.MATERIAL))
      .execute(destination);
    return row.toItem.map((item) => item.material);
  },
  async creates() {
    const item = salesOrderItemApi.entityBuilder().material("P1").build();
    const made = salesOrderApi.entityBuilder().soldToParty("101").purchaseOrderByCustomer("from the SDK").toItem([item]).build();
    const row = await salesOrderApi.requestBuilder().create(made).execute(destination);
    return { order: row.salesOrder, reference: row.purchaseOrderByCustomer, items: row.toItem.map((entry) => entry.salesOrderItem) };
  },
  async updates() {
    const row = await businessPartnerApi.requestBuilder().getByKey("102").execute(destination);
    const stale = await businessPartnerApi.requestBuilder().getByKey("102").execute(destination);
    row.searchTerm1 = "SDK";
    await businessPartnerApi.requestBuilder().update(row).execute(destination);
    row.searchTerm1 = "SDK again"; // with the ETag that came back from the first update
    await businessPartnerApi.requestBuilder().update(row).execute(destination);
    stale.searchTerm1 = "STALE";
    const conflict = await businessPartnerApi.requestBuilder().update(stale).execute(destination).catch(root);
    const read = await businessPartnerApi.requestBuilder().getByKey("102").execute(destination);
    return { term: read.searchTerm1, conflict: conflict.status };
  },
  async deletes() {
    const row = await salesOrderApi.requestBuilder().getByKey("9").execute(destination);
    await salesOrderApi.requestBuilder().delete(row).execute(destination);
    const gone = await salesOrderApi.requestBuilder().getByKey("9").execute(destination).catch(root);
    return gone.status;
  },
  async batches() {
    const row = await salesOrderApi.requestBuilder().getByKey("10").execute(destination);
    row.deliveryBlockReason = "07";
    const answers = await batch(
      salesOrderApi.requestBuilder().getByKey("11"),
      changeset(salesOrderApi.requestBuilder().update(row)),
      salesOrderApi.requestBuilder().getByKey("10"),
    ).execute(destination);
    return {
      read: answers[0].isSuccess() && answers[0].as(salesOrderApi)[0].salesOrder,
      changed: answers[1].isWriteResponses() && answers[1].responses.map((answer) => answer.httpCode),
      after: answers[2].isSuccess() && answers[2].as(salesOrderApi)[0].deliveryBlockReason,
    };
  },
  async writes_v4() {
    const read = await executeHttpRequest(destination, { method: "get", url: `${V4}/SalesOrder('12')` });
    const headers = { "if-match": read.data["@odata.etag"] };
    const request = { method: "patch", url: `${V4}/SalesOrder('12')`, data: { DeliveryBlockReason: "04" }, headers };
    const written = await executeHttpRequest(destination, request, { fetchCsrfToken: true });
    const again = await executeHttpRequest(destination, request, { fetchCsrfToken: true }).catch(root);
    const bare = await executeHttpRequest(destination, request, { fetchCsrfToken: false }).catch(root);
    return { block: written.data.DeliveryBlockReason, again: again.status, withoutToken: bare.status };
  },
};

const seen = {};
for (const [name, step] of Object.entries(steps)) {
  try {
    seen[name] = await step();
  } catch (error) {
    seen[name] = { failed: String(error?.stack ?? error), cause: String(error?.cause?.message ?? ""), body: error?.cause?.response?.data };
  }
}
process.stdout.write(JSON.stringify(seen));
