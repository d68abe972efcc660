"""Networks of their own for steps: made, connected to the outside, and gone with whoever made them.

`opening` chooses, `nat` and `pasta` are the two ways out; all that is the kernel's is asked for over netlink.
"""
