# ovseg_ros on a Jetson (JetPack 6 and later): docs/install.md, "In a container".
# BASE has ROS 2 Jazzy in /opt/ros/jazzy and a torch that is built for the Jetson's GPU, such as what
# `jetson-containers build ros:jazzy-ros-base pytorch torchvision` makes.
ARG BASE
FROM ${BASE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential python3-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ws/src/ovseg_ros
COPY . .
# Into the base image's Python, whose torch must stay: nothing here may pull another one.
RUN pip list --format freeze | grep -E '^(torch|torchvision|numpy)==' > /opt/kept.txt \
    && pip install --no-cache-dir --break-system-packages --constraint /opt/kept.txt \
        HanTa open_clip_torch opencv-python-headless pillow pydensecrf2 pyyaml rich rosbags \
        safetensors scipy simplejpeg timm transformers typer
WORKDIR /opt/ws
RUN . /opt/ros/jazzy/setup.sh && colcon build --cmake-args -DBUILD_TESTING=OFF

ENV OVSEG_DATA=/data
VOLUME /data
ENTRYPOINT ["/bin/bash", "-c", ". /opt/ros/jazzy/setup.bash && . install/setup.bash && exec \"$@\"", "ovseg"]
CMD ["ros2", "launch", "ovseg_ros", "ovseg.launch.py"]
