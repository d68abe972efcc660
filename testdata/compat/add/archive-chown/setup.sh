mkdir d; echo f > d/f; ln -s f d/l; tar cf t.tar --owner=5 --group=6 d; rm -r d
