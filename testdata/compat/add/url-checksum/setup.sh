sed -i "s/4eafd19a1a50b7ec0d8ea8d65cec1b2ac9fe84dfebd22ff9a4b9a4c0ff6e3c56/$(sha256sum < www/file.txt | cut -c1-64)/" Dockerfile
