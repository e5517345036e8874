"use strict";
// What the scripts of a page share: texts of elements, CSV that no spreadsheet takes for formulas, files, the clipboard.
const bioqa = (() => {
  const text = (within, selector) => within.querySelector(selector)?.textContent.replace(/\s+/g, " ").trim() ?? "";

  // To the letter as bioqa_pipeline/export/flat.py has it: no text is a formula.
  const formula = /^[\s\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]*[=+\-@＝＋－＠]|^[\t\r\n|%]/;
  const number = /^[-+]?[0-9]+(?:[.,][0-9]+)*(?:e[-+]?[0-9]+)?%?(?:; [-+]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?)*$/;
  const defused = (value) => (formula.test(value) && !number.test(value) ? `'${value}` : value);
  const cell = (value) => {
    const plain = typeof value === "string" ? defused(value) : String(value ?? "");
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  const csv = (names, rows) =>
    "\ufeff" + [names.join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";

  const save = (content, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  // Pages on plain http, other than loopback, have no clipboard but this older way.
  const copyOld = (words) => {
    const box = document.createElement("textarea");
    box.value = words;
    box.className = "hide";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  };
  const copy = async (words, button) => {
    let done = false;
    try {
      await navigator.clipboard.writeText(words);
      done = true;
    } catch {
      done = copyOld(words);
    }
    const before = button.dataset.words ?? button.textContent;
    button.dataset.words = before;
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  return { text, csv, save, copy };
})();
