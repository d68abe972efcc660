mkdir d; chmod 700 d; echo f > d/f; tar cf t.tar --owner=3 -C d .; rm -r d
