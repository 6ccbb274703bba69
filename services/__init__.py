"""The business's own records, a file per service: customers, billing, licences, deployments, mail, tickets.

A transactional method works in the session of its ``Transaction`` and never commits: its changes and its entry in the
ledger commit together. A refusal is a ``ConnectorError`` that says what to do.
"""
