"""Points the original at the oracle's daemon-util: this one path is not below GANETI_ROOTDIR."""

import os

import ganeti.pathutils

ganeti.pathutils.DAEMON_UTIL = os.environ["ORACLE_DAEMON_UTIL"]
