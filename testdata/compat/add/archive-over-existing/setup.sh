mkdir -p d sym; echo new > d/f; echo s > sym/s; tar cf t.tar d sym; rm -r d sym
