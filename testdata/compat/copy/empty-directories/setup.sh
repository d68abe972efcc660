mkdir -p d/empty/deep e
