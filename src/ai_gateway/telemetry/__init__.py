"""What is told about calls: metrics and logs. Nothing here can fail a call or wait for anything."""
