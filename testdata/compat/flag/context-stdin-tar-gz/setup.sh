mkdir -p c/sub; printf 'FROM scratch\nCOPY . /\n' > c/sub/Dockerfile; echo x > c/x; tar czf ctx.tar.gz -C c .
