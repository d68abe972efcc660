"""Networks of their own for steps: created, connected to the outside, and removed with the process that created them.

`opening` chooses, `nat` and `pasta` are the two ways out; all that is the kernel's is asked for over netlink.
"""
