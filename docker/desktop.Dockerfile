# ovseg_ros on a desktop with an NVIDIA GPU, or on its CPU: docs/install.md, "In a container".
FROM ros:jazzy-ros-base

# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential python3-dev python3-venv \
        ros-jazzy-cv-bridge ros-jazzy-sensor-msgs-py ros-jazzy-vision-msgs \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ovseg_ros
COPY . .
# A sourced ROS: the environment sees its packages, and colcon builds into it.
RUN . /opt/ros/jazzy/setup.sh && make

ENV OVSEG_DATA=/data
VOLUME /data
SHELL ["/bin/bash", "-c"]
ENTRYPOINT ["/bin/bash", "-c", ". /opt/ros/jazzy/setup.bash && . .venv/local_setup.bash && exec \"$@\"", "ovseg"]
CMD ["ros2", "launch", "ovseg_ros", "ovseg.launch.py"]
