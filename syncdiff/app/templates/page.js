// Videos in one .in-step start, stop and jump together. Media events do not bubble: they are caught on the way down.
(() => {
  const NEAR_S = 0.04; // a frame
  const others = (video) => [...(video.closest(".in-step")?.querySelectorAll("video") ?? [])].filter((v) => v !== video);
  const follow = (video) => others(video).forEach((v) => {
    if (Math.abs(v.currentTime - video.currentTime) > NEAR_S) v.currentTime = video.currentTime;
  });
  const on = (name, act) => document.addEventListener(name, (event) => {
    if (event.target instanceof HTMLVideoElement && event.target.closest(".in-step")) act(event.target);
  }, true);
  on("play", (video) => { follow(video); others(video).forEach((v) => v.paused && !v.ended && v.play().catch(() => {})); });
  on("pause", (video) => { if (!video.ended) others(video).forEach((v) => v.pause()); follow(video); });
  on("seeked", (video) => { if (video.paused) follow(video); });
  on("ratechange", (video) => others(video).forEach((v) => { v.playbackRate = video.playbackRate; }));
  // While they play, the one that is heard sets the time.
  on("timeupdate", (video) => { if (!video.paused && "heard" in video.dataset) follow(video); });
})();
