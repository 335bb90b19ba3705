// Each clip: all its videos play together, one of them is heard.
const DRIFT_S = 0.06;

for (const clip of document.querySelectorAll(".clip")) {
  const videos = [...clip.querySelectorAll("video")];
  const lead = videos[0];
  const play = clip.querySelector(".play");
  const seek = clip.querySelector("input");

  const goTo = (time) => videos.forEach((video) => { video.currentTime = Math.min(time, video.duration || time); });
  const run = (on) => {
    videos.forEach((video) => (on ? video.play() : video.pause()));
    play.textContent = on ? "Pause" : "Play";
  };
  const hear = (chosen) => videos.forEach((video) => {
    video.muted = video !== chosen;
    video.parentElement.setAttribute("aria-pressed", String(video === chosen));
  });

  play.addEventListener("click", () => {
    if (videos.every((video) => video.muted)) hear(videos.at(0));
    goTo(lead.ended ? 0 : lead.currentTime);
    run(lead.paused);
  });
  seek.addEventListener("input", () => goTo(seek.value * lead.duration));
  lead.addEventListener("ended", () => { goTo(0); run(true); });
  lead.addEventListener("timeupdate", () => {
    seek.value = lead.currentTime / lead.duration;
    videos.filter((video) => !video.ended && Math.abs(video.currentTime - lead.currentTime) > DRIFT_S)
      .forEach((video) => { video.currentTime = lead.currentTime; });
  });
  videos.forEach((video) => video.parentElement.addEventListener("click", () => {
    hear(video);
    if (lead.paused) run(true);
  }));
}
