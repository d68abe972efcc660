chmod 755 run.sh; chmod 750 sub/deep; chmod 4644 sub/c.txt
