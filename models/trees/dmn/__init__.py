"""Decision tables as other tools have them: DMN, the OMG's XML, in and out."""
