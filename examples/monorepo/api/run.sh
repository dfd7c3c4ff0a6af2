# Stands for the tests of this package.
echo "api: all is well"
