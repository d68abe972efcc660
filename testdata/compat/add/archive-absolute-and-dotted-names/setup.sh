mkdir d; echo 1 > d/f; tar cPf t.tar --transform 's,^d/f,/abs/f,' d/f; tar rPf t.tar --transform 's,^d/f,./dot/./f,' d/f; rm -r d
