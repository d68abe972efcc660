mkdir -p a/b; echo f > a/b/c; chmod 700 a a/b; tar cf t.tar a/b/c; rm -r a
