"""Open-vocabulary segmentation for robots that finds its own words."""

from pkgutil import extend_path

# Lets the sources and the generated ovseg_ros.msg and ovseg_ros.srv live in different folders.
__path__ = extend_path(__path__, __name__)
