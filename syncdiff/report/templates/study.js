// One screen at a time: the welcome, the pairs, the end. The answers stay in this page until they are saved.
const welcome = document.querySelector("#welcome");
const end = document.querySelector("#end");
const pairs = [...document.querySelectorAll(".pair")];
const screens = welcome ? [welcome, ...pairs, end] : [];
let unsaved = false;

const show = (chosen) => {
  document.querySelectorAll("video").forEach((video) => video.pause());
  screens.forEach((screen) => { screen.hidden = screen !== chosen; });
  window.scrollTo(0, 0);
  if (chosen === end) offer();
};
const goTo = (screen, step) => show(screens[screens.indexOf(screen) + step]);
const answered = (pair) => [...pair.querySelectorAll("fieldset")].every((question) => question.querySelector(":checked"));

// What begins with a sign that spreadsheets take for a formula gets a quote before it.
const cell = (text) => `"${text.replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
const answers = () => {
  const rater = document.querySelector("#rater").value.trim();
  const rows = pairs.flatMap((pair) => [...pair.querySelectorAll("fieldset")].map((question) => (
    [document.body.dataset.study, rater, pair.dataset.pair, question.dataset.question, question.querySelector(":checked").value]
  )));
  return [["study", "rater", "pair", "question", "answer"], ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
};
const offer = () => {
  const save = document.querySelector("#save");
  const rater = document.querySelector("#rater").value.trim().replace(/[^\p{L}\p{N}]+/gu, "-");
  save.download = `answers-${document.body.dataset.study}-${rater}.csv`;
  save.href = URL.createObjectURL(new Blob([answers()], { type: "text/csv" }));
};

for (const pair of pairs) {
  const videos = [...pair.querySelectorAll("video")];
  const next = pair.querySelector(".next");
  videos.forEach((video) => video.parentElement.addEventListener("click", () => {
    videos.filter((other) => other !== video).forEach((other) => other.pause());
    if (!video.paused) return video.pause();
    if (video.ended) video.currentTime = 0;
    return video.play();
  }));
  pair.addEventListener("change", () => { unsaved = true; next.disabled = !answered(pair); });
  next.addEventListener("click", () => goTo(pair, 1));
  pair.querySelector(".back").addEventListener("click", () => goTo(pair, -1));
}
if (welcome) {
  document.querySelector("#begin").addEventListener("submit", (event) => { event.preventDefault(); goTo(welcome, 1); });
  end.querySelector(".back").addEventListener("click", () => goTo(end, -1));
  document.querySelector("#save").addEventListener("click", () => { unsaved = false; });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
}
