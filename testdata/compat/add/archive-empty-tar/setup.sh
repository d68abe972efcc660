head -c 10240 /dev/zero > blocks.tar
