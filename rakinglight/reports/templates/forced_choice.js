"use strict";

// What is drawn and what is written, which know of no page.

/** A copy of `list` in a random order. */
function shuffled(list, random = Math.random) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

/** The pictures of `asked` in a random order, each by its place, with its class among others to choose from. */
function planned(asked, random = Math.random) {
  return shuffled(asked.pictures.map((picture, place) => {
    const others = asked.classes.filter((name) => name !== picture.truth);
    const drawn = shuffled(others, random).slice(0, asked.choices - 1);
    return { place, choices: shuffled([picture.truth, ...drawn], random) };
  }), random);
}

/** A cell of a CSV (RFC 4180). What a spreadsheet would take for a formula has a ' before it. */
function cell(value) {
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

const COLUMNS = ["person", "picture", "class", "choices", "answer", "right", "seconds"];

/** The answers as a table; `choices` is a list in JSON, in the order in which they were shown. */
function csv(answers) {
  const rows = answers.map((one) => [
    one.person, one.picture, one.truth, JSON.stringify(one.choices), one.answer, one.answer === one.truth ? 1 : 0,
    one.seconds,
  ]);
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** 1 -> "1 picture", 2 -> "2 pictures". */
function counted(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

// The page.

function opened(asked) {
  const at = (id) => document.getElementById(id);
  const key = `rakinglight-forced-choice-${asked.id}`;
  /** A click that was meant for the picture before is no answer to this one. */
  const HASTY_MS = 150;
  /** The keys of the choices. No digits: those may be classes. */
  const LETTERS = "abcdefghij";
  let fleeting = false;
  let kept = { answers: [], person: null, plan: [] };
  let shownAt = null;

  try {
    kept = JSON.parse(localStorage.getItem(key)) ?? kept;
    localStorage.setItem(key, JSON.stringify(kept));
  } catch {
    fleeting = true;
  }

  function keep() {
    if (fleeting) return;
    try {
      localStorage.setItem(key, JSON.stringify(kept));
    } catch {
      fleeting = true;
    }
  }

  const under_way = () => kept.person !== null;

  function show() {
    at("beginning").hidden = under_way();
    at("asking").hidden = !kept.plan.length;
    at("end").hidden = !under_way() || kept.plan.length > 0;
    at("keeping").hidden = !kept.answers.length;
    at("next").hidden = !under_way();
    at("erase").hidden = under_way();
    at("save").classList.toggle("first", !at("end").hidden);
    at("fleeting").hidden = !fleeting;
    const people = new Set(kept.answers.map((one) => one.person)).size;
    at("kept").textContent = `${counted(kept.answers.length, "answer")} of ${people === 1 ? "one person" : `${people} people`} so far.`;
    if (!at("asking").hidden) ask();
    if (!at("end").hidden) conclude();
    // Not on a phone, where it would bring up the keyboard.
    if (!at("beginning").hidden && matchMedia("(hover: hover)").matches) at("person").focus();
  }

  function ask() {
    const { place, choices } = kept.plan[0];
    const number = asked.pictures.length - kept.plan.length;
    const image = at("picture");
    at("place").textContent = `Picture ${number + 1} of ${asked.pictures.length}`;
    at("bar").max = asked.pictures.length;
    at("bar").value = number;
    shownAt = null;
    image.onload = () => {
      image.classList.toggle("pixels", Math.min(image.naturalWidth, image.naturalHeight) < 150);
      shownAt = performance.now();
    };
    image.src = asked.pictures[place].image;
    at("choices").replaceChildren(...choices.map((name, i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const letter = document.createElement("kbd"), label = document.createElement("span");
      letter.textContent = LETTERS[i];
      letter.ariaHidden = "true";
      label.textContent = name;
      button.type = "button";
      button.append(letter, label);
      button.addEventListener("click", () => answer(name));
      item.append(button);
      return item;
    }));
    at("question").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  function answer(name) {
    const spent = performance.now() - shownAt;
    if (shownAt === null || spent < HASTY_MS) return;
    const { place, choices } = kept.plan.shift();
    const { name: picture, truth } = asked.pictures[place];
    const seconds = Number((spent / 1000).toFixed(2));
    kept.answers.push({ person: kept.person, picture, truth, choices, answer: name, seconds, sitting: kept.sitting });
    keep();
    show();
  }

  function conclude() {
    const own = kept.answers.filter((one) => one.sitting === kept.sitting);
    const right = own.filter((one) => one.answer === one.truth).length;
    at("verdict").textContent = `${right} of ${counted(own.length, "picture")} named by their class.`;
    at("chance").textContent =
      `That is ${Math.round((100 * right) / own.length)} %. Who guesses is right ${Math.round(100 / asked.choices)} % of the time.`;
    at("verdict").focus();
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv(kept.answers)], { type: "text/csv;charset=utf-8" }));
    link.download = "answers.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  at("count").textContent = counted(asked.pictures.length, "picture");
  at("of").textContent = `${asked.choices} classes`;
  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    kept.person = at("person").value.trim() || "somebody";
    kept.plan = planned(asked);
    kept.sitting = 1 + Math.max(0, ...kept.answers.map((one) => one.sitting));
    keep();
    show();
  });
  at("save").addEventListener("click", save);
  at("next").addEventListener("click", () => {
    const missing = kept.plan.length;
    if (missing && !confirm(`${counted(missing, "picture")} of this person would stay unanswered. Go on to the next person?`)) return;
    kept.person = null;
    kept.plan = [];
    at("person").value = "";
    keep();
    show();
  });
  at("erase").addEventListener("click", () => {
    if (!confirm(`Erase ${counted(kept.answers.length, "answer")} from this browser?`)) return;
    kept.answers = [];
    keep();
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (at("asking").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.length === 1) at("choices").querySelectorAll("button")[LETTERS.indexOf(event.key.toLowerCase())]?.click();
  });
  window.addEventListener("beforeunload", (event) => {
    if (fleeting && kept.answers.length) event.preventDefault();
  });
  show();
}

if (typeof document !== "undefined") opened(JSON.parse(document.getElementById("asked").textContent));
else module.exports = { cell, csv, planned, shuffled };
