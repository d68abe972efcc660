echo one > f; tar cf t.tar f; echo two > f; chmod 600 f; tar rf t.tar f; rm f
