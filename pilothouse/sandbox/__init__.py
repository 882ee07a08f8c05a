"""An enterprise in a box: SAP, Salesforce and a warehouse over one living, seeded company.

Reached over its protocols alone: nothing outside this package imports it but the entry points that start it.
"""
