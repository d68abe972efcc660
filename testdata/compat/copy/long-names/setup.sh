n=$(printf 'x%.0s' $(seq 200)); mkdir -p d/$n/$n; echo 1 > d/$n/$n/$n; ln -s /$n/$n/$n/$n d/$n/link; echo 2 > "d/ü-$n"
