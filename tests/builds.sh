# For tests that compare the two builds, or compile an extension module for both.
# To be sourced after tap.sh.  BUILD is pth or stock:
#
#   interpreter BUILD        its path
#   python BUILD ARG...      run it
#   config_var BUILD NAME    a variable of its sysconfig
#   includes BUILD           the -I options for its headers

for python in "$PTH_PYTHON" "$STOCK_PYTHON"; do
    [ -x "$python" ] || die "there is no $python: run 'make check', or set PTH_PYTHON and STOCK_PYTHON"
done
# An environment that python does not look into.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONDEVMODE

interpreter() {
    case $1 in
        pth) echo "$PTH_PYTHON" ;;
        stock) echo "$STOCK_PYTHON" ;;
    esac
}

python() {
    interpreter=$(interpreter "$1")
    shift
    "$interpreter" -B "$@"
}

config_var() {
    python "$1" -c 'import sys, sysconfig
print(sysconfig.get_config_var(sys.argv[1]))' "$2"
}

includes() {
    python "$1" -c 'import os, sysconfig
print("-I" + sysconfig.get_path("include"),
      "-I" + os.path.dirname(sysconfig.get_config_h_filename()))'
}
