mkdir d www; echo 1 > d/f; tar czf www/t.tar.gz --owner=5 d; rm -r d
