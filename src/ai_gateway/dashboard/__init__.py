"""The dashboard: pages over the admin API. Static files, and the session that lets a browser use it."""
