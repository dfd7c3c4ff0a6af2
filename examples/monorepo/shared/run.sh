# Stands for the tests of this package.
echo "shared: all is well"
