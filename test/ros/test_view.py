"""The live page in a real browser, over a real node."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("nicegui", reason="a dependency of the tests: make installs it")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="a dependency of the tests: make installs it"
)

from fakes import build_fake_pipeline, picture

from ovseg_ros.cli import main
from ovseg_ros.nodes.segmentation_node import SegmentationNode

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
RED_AND_GREEN = picture("red block", "green block", size_hw=(96, 128))
PATIENCE_MS = 180_000

PIXEL = """
name => {
    const image = document.querySelector(`[data-testid=${name}] img`);
    if (!image || image.naturalWidth != 128) return null;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const [red, green, blue, opacity] = context.getImageData(10, 10, 1, 1).data;
    return opacity && [canvas.height, red, green, blue]; // none while the picture is being replaced
}
"""
"""Height and a pixel of a picture on the page, once it is drawn."""


@contextmanager
def viewing(*arguments):
    """Run `ovseg view`; give its process and the address that it prints."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "ovseg_ros.cli", "view", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            match = re.search(r"http://\S+", line)
            assert match, line + process.stdout.read()
            yield process, match.group()
        finally:
            process.kill()


@pytest.fixture
def page():
    """Provide a page of a browser that asks this machine alone."""
    if BROWSER is None:
        pytest.skip("needs a browser: apt install chromium-headless-shell")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        yield page
        browser.close()
        assert errors == []
        # Nothing comes from elsewhere: robots are offline.
        elsewhere = [
            url for url in asked if not re.match(r"(http|ws)://127\.0\.0\.1|data:|blob:", url)
        ]
        assert elsewhere == []


@pytest.mark.timeout(1200)
def test_in_a_browser(graph, page):
    words = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}
    graph.add(SegmentationNode, build_fake_pipeline, **words)
    publish = graph.camera()
    client = graph.client.create_timer(0.1, lambda: publish(RED_AND_GREEN))
    with viewing("--port", "0") as (process, url):
        page.goto(url)
        height, red, green, blue = page.wait_for_function(PIXEL, arg="overlay").json_value()
        assert height == 96
        assert red > 80 and red > 2 * min(green, blue)  # red, below the colour of its category
        table = page.get_by_test_id("categories")
        for name in ("red block", "green block"):
            playwright.expect(table.get_by_text(name)).to_be_visible(timeout=PATIENCE_MS)
        playwright.expect(table.get_by_text("50.0%")).to_have_count(2, timeout=PATIENCE_MS)
        playwright.expect(page.get_by_test_id("health")).to_contain_text(
            "masks/s", timeout=PATIENCE_MS
        )
        chart = page.get_by_test_id("timeline").locator("canvas, svg").first
        playwright.expect(chart).to_be_visible(timeout=PATIENCE_MS)

        box, answer = page.get_by_test_id("query"), page.get_by_test_id("answer")
        box.fill("Green  Block, blue block")
        page.get_by_test_id("ask").click()
        playwright.expect(answer).to_have_text(
            re.compile(r"green block: here, score 0\.78; blue block: not in the picture"),
            timeout=PATIENCE_MS,
        )
        where = page.get_by_test_id("where")
        playwright.expect(where).to_be_visible(timeout=PATIENCE_MS)
        _, *colour = page.wait_for_function(PIXEL, arg="where").json_value()
        assert max(colour) < 100  # the red side is darkened
        box.fill("  ,")
        box.press("Enter")
        playwright.expect(answer).to_have_text("type what to look for", timeout=PATIENCE_MS)
        playwright.expect(where).to_be_hidden(timeout=PATIENCE_MS)
        if folder := os.environ.get("OVSEG_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/view.png", full_page=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, process.stdout.read()
    graph.client.destroy_timer(client)


@pytest.mark.timeout(1200)
def test_a_port_that_is_taken_is_named():
    with viewing("--port", "0") as (process, url):
        taken = url.rpartition(":")[2].strip("/")
        second = subprocess.run(
            [sys.executable, "-P", "-m", "ovseg_ros.cli", "view", "--port", taken],
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert second.returncode == 2
        assert f"127.0.0.1:{taken} cannot be listened on" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bad name"], "node: expected letters, digits, _ and / as ROS has, got 'bad name'"),
        (["--namespace", "a-b"], "namespace: expected letters, digits, _ and / as ROS has"),
        (["--camera", "2nd"], "camera: expected letters, digits, _ and / as ROS has, got '2nd'"),
    ],
)
def test_names_that_are_none_of_ros_are_refused_in_one_line(capsys, words, message):
    with pytest.raises(SystemExit) as end:
        main(["view", "--port", "0", *words])
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_setting_that_ros_refuses_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    with pytest.raises(SystemExit) as end:
        main(["view", "--port", "0"])
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert "ROS 2: failed to initialize rcl: ROS_DOMAIN_ID is not an integral number" in err
