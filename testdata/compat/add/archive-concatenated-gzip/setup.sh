echo one > f; tar cf t.tar f; head -c 3000 t.tar | gzip > t.tgz; tail -c +3001 t.tar | gzip >> t.tgz; rm t.tar f
