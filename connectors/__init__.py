"""Sources and write-back targets, one package each. A vendor's SDK is imported only in its own package."""
