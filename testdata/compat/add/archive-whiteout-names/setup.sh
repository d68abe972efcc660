: > .wh.keep; mkdir o; : > o/.wh..wh..opq; echo f > o/f; tar cf t.tar .wh.keep o; rm -r .wh.keep o
