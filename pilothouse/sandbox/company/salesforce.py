"""What the company keeps in Salesforce: standard objects under their standard field names, and a few custom fields."""

from pilothouse.sandbox.company.schema import Entity, Field

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIXES = {"Account": "001", "Contact": "003", "User": "005", "Opportunity": "006", "Case": "500", "Task": "00T"}

_SYSTEM = (
    Field("OwnerId", length=18, nullable=False, label="Owner ID", reference="User.Id"),
    Field("CreatedById", length=18, nullable=False, label="Created By ID", reference="User.Id"),
    Field("CreatedDate", "datetime", nullable=False, label="Created Date"),
    Field("LastModifiedById", length=18, nullable=False, label="Last Modified By ID", reference="User.Id"),
    Field("LastModifiedDate", "datetime", nullable=False, label="Last Modified Date"),
    Field("SystemModstamp", "datetime", nullable=False, label="System Modstamp"),
    Field("IsDeleted", "bool", nullable=False, label="Deleted"),
)
INDUSTRIES = (
    "Automotive",
    "Chemicals",
    "Construction",
    "Electronics",
    "Energy",
    "Food & Beverage",
    "Healthcare",
    "Machinery",
    "Retail",
    "Transportation",
)
STAGES = ("Prospecting", "Qualification", "Needs Analysis", "Proposal/Price Quote", "Negotiation/Review", "Closed Won", "Closed Lost")
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Trade Show", "Other")

USER = Entity(
    "salesforce",
    "User",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="User ID"),
        Field("Username", length=80, nullable=False, label="Username"),
        Field("FirstName", length=40, label="First Name"),
        Field("LastName", length=80, nullable=False, label="Last Name"),
        Field("Name", length=121, nullable=False, label="Full Name"),
        Field("Email", length=128, nullable=False, label="Email"),
        Field("Alias", length=8, nullable=False, label="Alias"),
        Field("Title", length=80, label="Title"),
        Field("Department", length=80, label="Department"),
        Field("IsActive", "bool", nullable=False, label="Active"),
        Field("CreatedDate", "datetime", nullable=False, label="Created Date"),
        Field("LastModifiedDate", "datetime", nullable=False, label="Last Modified Date"),
        Field("SystemModstamp", "datetime", nullable=False, label="System Modstamp"),
    ),
    label="User",
    changed="SystemModstamp",
    created="CreatedDate",
)

ACCOUNT = Entity(
    "salesforce",
    "Account",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="Account ID"),
        Field("Name", length=255, nullable=False, label="Account Name"),
        Field("Type", length=255, label="Account Type", picklist=("Customer", "Prospect", "Partner", "Other")),
        Field("ParentId", length=18, label="Parent Account ID", reference="Account.Id"),
        Field("BillingStreet", length=255, label="Billing Street"),
        Field("BillingCity", length=40, label="Billing City"),
        Field("BillingState", length=80, label="Billing State/Province"),
        Field("BillingPostalCode", length=20, label="Billing Zip/Postal Code"),
        Field("BillingCountry", length=80, label="Billing Country"),
        Field("Phone", length=40, label="Account Phone"),
        Field("Website", length=255, label="Website"),
        Field("Industry", length=255, label="Industry", picklist=INDUSTRIES),
        Field("AnnualRevenue", "decimal", precision=18, scale=2, label="Annual Revenue"),
        Field("NumberOfEmployees", "int", label="Employees"),
        Field("Rating", length=255, label="Account Rating", picklist=("Hot", "Warm", "Cold")),
        Field("AccountNumber", length=40, label="Account Number"),
        Field("Description", length=32000, label="Account Description"),
        Field("Tax_Number__c", length=20, label="Tax Number"),
        Field("Customer_Since__c", "date", label="Customer Since"),
        Field("Payment_Behaviour__c", length=255, label="Payment Behaviour (sales)", picklist=("Good", "Mixed", "Poor")),
        *_SYSTEM,
    ),
    label="Account",
    changed="SystemModstamp",
    created="CreatedDate",
    indexes=(("SystemModstamp", "Id"), ("Name",)),
)

CONTACT = Entity(
    "salesforce",
    "Contact",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="Contact ID"),
        Field("AccountId", length=18, label="Account ID", reference="Account.Id"),
        Field("FirstName", length=40, label="First Name"),
        Field("LastName", length=80, nullable=False, label="Last Name"),
        Field("Name", length=121, label="Full Name"),
        Field("Salutation", length=40, label="Salutation", picklist=("Mr.", "Ms.", "Dr.")),
        Field("Title", length=128, label="Title"),
        Field("Department", length=80, label="Department"),
        Field("Email", length=80, label="Email"),
        Field("Phone", length=40, label="Business Phone"),
        Field("MobilePhone", length=40, label="Mobile Phone"),
        Field("LeadSource", length=255, label="Lead Source", picklist=_SOURCES),
        Field("HasOptedOutOfEmail", "bool", label="Email Opt Out"),
        *_SYSTEM,
    ),
    label="Contact",
    changed="SystemModstamp",
    created="CreatedDate",
    indexes=(("SystemModstamp", "Id"), ("AccountId",)),
)

OPPORTUNITY = Entity(
    "salesforce",
    "Opportunity",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="Opportunity ID"),
        Field("AccountId", length=18, label="Account ID", reference="Account.Id"),
        Field("Name", length=120, nullable=False, label="Name"),
        Field("StageName", length=255, nullable=False, label="Stage", picklist=STAGES),
        Field("Amount", "decimal", precision=18, scale=2, label="Amount"),
        Field("Probability", "decimal", precision=3, scale=0, label="Probability (%)"),
        Field("ExpectedRevenue", "decimal", precision=18, scale=2, label="Expected Amount"),
        Field("CloseDate", "date", nullable=False, label="Close Date"),
        Field("Type", length=255, label="Opportunity Type", picklist=("New Customer", "Existing Customer - Upgrade", "Existing Customer")),
        Field("NextStep", length=255, label="Next Step"),
        Field("LeadSource", length=255, label="Lead Source", picklist=_SOURCES),
        Field("IsClosed", "bool", nullable=False, label="Closed"),
        Field("IsWon", "bool", nullable=False, label="Won"),
        Field("ForecastCategoryName", length=255, label="Forecast Category"),
        Field("Description", length=32000, label="Description"),
        *_SYSTEM,
    ),
    label="Opportunity",
    changed="SystemModstamp",
    created="CreatedDate",
    indexes=(("SystemModstamp", "Id"), ("AccountId",), ("IsClosed", "Id")),
)

CASE = Entity(
    "salesforce",
    "Case",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="Case ID"),
        Field("CaseNumber", length=30, nullable=False, label="Case Number"),
        Field("AccountId", length=18, label="Account ID", reference="Account.Id"),
        Field("ContactId", length=18, label="Contact ID", reference="Contact.Id"),
        Field("Subject", length=255, label="Subject"),
        Field("Description", length=32000, label="Description"),
        Field("Type", length=255, label="Case Type", picklist=("Problem", "Question", "Complaint", "Billing")),
        Field("Reason", length=255, label="Case Reason"),
        Field("Status", length=255, label="Status", picklist=("New", "Working", "Escalated", "Closed")),
        Field("Priority", length=255, label="Priority", picklist=("High", "Medium", "Low")),
        Field("Origin", length=255, label="Case Origin", picklist=("Phone", "Email", "Web")),
        Field("IsClosed", "bool", nullable=False, label="Closed"),
        Field("IsEscalated", "bool", nullable=False, label="Escalated"),
        Field("ClosedDate", "datetime", label="Closed Date"),
        *_SYSTEM,
    ),
    label="Case",
    changed="SystemModstamp",
    created="CreatedDate",
    indexes=(("SystemModstamp", "Id"), ("AccountId",), ("ContactId",), ("IsClosed", "Id")),
)

TASK = Entity(
    "salesforce",
    "Task",
    ("Id",),
    (
        Field("Id", length=18, nullable=False, label="Activity ID"),
        Field("WhatId", length=18, label="Related To ID", reference="Account.Id"),
        Field("WhoId", length=18, label="Name ID", reference="Contact.Id"),
        Field("Subject", length=255, label="Subject"),
        Field("Description", length=32000, label="Description"),
        Field("ActivityDate", "date", label="Due Date Only"),
        Field(
            "Status",
            length=255,
            label="Status",
            picklist=("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"),
        ),
        Field("Priority", length=255, label="Priority", picklist=("High", "Normal", "Low")),
        Field("Pilothouse_Key__c", length=80, label="Pilothouse Key"),
        *_SYSTEM,
    ),
    label="Task",
    changed="SystemModstamp",
    created="CreatedDate",
    indexes=(("SystemModstamp", "Id"), ("Pilothouse_Key__c",)),
)

SALESFORCE: tuple[Entity, ...] = (USER, ACCOUNT, CONTACT, OPPORTUNITY, CASE, TASK)


def record_id(entity: str, number: int) -> str:
    """The Id of an object's n-th record: prefix, counter in base 62, and the three checksum letters of the 18-character form."""
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return with_checksum(f"{PREFIXES[entity]}J80{digits}")


def with_checksum(fifteen: str) -> str:
    """The 18-character form of a case-sensitive 15-character Id: each suffix letter tells which of five characters are capitals."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    chunks = (fifteen[start : start + 5] for start in (0, 5, 10))
    return fifteen + "".join(letters[sum(1 << place for place, letter in enumerate(chunk) if letter.isupper())] for chunk in chunks)
