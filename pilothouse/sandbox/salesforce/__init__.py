"""The sandbox's Salesforce: REST, Bulk API 2.0 and login over the company's Salesforce entities.

`app.py` puts the parts together. A request becomes a `Call`, is routed by `routes.py` to a plain function, and comes back
as an `Answer`: so that composite requests run the very functions that single requests run.
"""
