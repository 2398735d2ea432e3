"""The application of wsgi_app.py as servers load it that embed Python.  Its files
are in the directory of this script."""

import os

import wsgi_app

application = wsgi_app.Application(os.path.dirname(os.path.abspath(__file__)))
