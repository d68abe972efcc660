mkdir -p c www; printf 'FROM scratch\nCOPY . /\n' > c/Dockerfile; echo x > c/x; tar czf www/ctx.tar.gz -C c .
