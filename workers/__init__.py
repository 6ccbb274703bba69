"""The worker: runs workflows and activities, starts accepted runs; and the embedded stack."""
