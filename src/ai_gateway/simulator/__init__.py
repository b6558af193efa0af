"""A stand-in for providers that speaks their wire formats. It always says that it is one."""
