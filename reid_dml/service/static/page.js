// What HTML and htmx do not do: drop and paste, previews, choosing two images to compare, and messages.
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const message = find("#message"), dialog = find("#dialog"), tray = find("#tray"), narrow = matchMedia("(max-width: 52rem)");
  if (!message) return;

  function say(text) {
    message.textContent = text;
    message.hidden = !text;
    if (text) message.scrollIntoView({ block: "nearest" });
  }

  // Files: dropped on a field, pasted anywhere, or chosen; all of them go through the field.
  function give(input, files) {
    const images = [...files].filter((file) => file.type.startsWith("image/"));
    if (!images.length) return say("That is no image.");
    const carrier = new DataTransfer();
    images.forEach((file) => carrier.items.add(file));
    input.files = carrier.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  for (const place of all("[data-drop]")) {
    const input = find("input[type=file]", place), previews = find("[data-previews]", place.parentElement);
    for (const name of ["dragenter", "dragover"]) {
      place.addEventListener(name, (event) => { event.preventDefault(); place.classList.add("over"); });
    }
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("over");
      give(input, event.dataTransfer.files);
    });
    input.addEventListener("change", () => {
      say("");
      all("img", previews).forEach((image) => URL.revokeObjectURL(image.src));
      previews.replaceChildren(...[...input.files].slice(0, 12).map((file) => {
        const image = document.createElement("img");
        image.src = URL.createObjectURL(file);
        image.alt = file.name;
        return image;
      }));
      if ("submit" in input.dataset && input.files.length) input.form.requestSubmit();
    });
    input.form.addEventListener("reset", () => previews.replaceChildren());
  }
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => event.preventDefault()); // a miss does not leave the page
  }
  window.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) give(find("#search input[type=file]"), event.clipboardData.files);
  });

  // Two images to compare, or one and what was searched for.
  const picked = () => all("[data-pick]:checked");
  const search = () => find("input[name=search][form=filters]")?.value || "";
  function showTray() {
    const count = picked().length;
    tray.hidden = !count;
    find("[data-count]", tray).textContent =
      count === 2 ? "2 images" : search() ? "1 image and the one searched for" : "1 image, choose another";
    find("[data-compare]", tray).disabled = count < 2 && !search();
  }
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-pick]")) return;
    const others = picked().filter((box) => box !== event.target);
    if (event.target.checked && others.length > 1) others[0].checked = false;
    showTray();
  });
  find("[data-compare]", tray).addEventListener("click", () => {
    const values = new URLSearchParams(picked().map((box) => ["id", box.value]));
    values.set("search", search());
    htmx.ajax("GET", `/compare?${values}`, { target: "#comparison", source: tray });
  });
  find("[data-none]", tray).addEventListener("click", () => {
    picked().forEach((box) => { box.checked = false; });
    showTray();
  });
  find("[data-clear]")?.addEventListener("click", (event) => {
    event.preventDefault(); // a reset would bring back the filters of the page's address
    const form = find("#filters");
    all("input:not([type=hidden])", form).forEach((input) => { input.checked = false; if (input.type !== "checkbox") input.value = ""; });
    form.requestSubmit();
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    say("");
    const target = event.detail.target;
    if (target.id === "results") {
      find("#said").textContent = `${all(".card .score").length} images found`;
      if (narrow.matches && event.detail.requestConfig.verb === "post") target.scrollIntoView();
    }
    if (target.id === "comparison" && !dialog.open) dialog.showModal();
    if (target.id === "added") find("#add").reset();
    showTray();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "results") {
      const old = find("#search [data-previews]"); // the results show what was searched for
      old.replaceChildren();
    }
  });
  document.addEventListener("htmx:responseError", (event) => {
    const text = event.detail.xhr.responseText;
    let line = text;
    try { line = JSON.parse(text).error || text; } catch { /* a plain line */ }
    if (event.detail.xhr.status === 401) window.location = "/login";
    if (dialog.open) dialog.close();
    say(line.slice(0, 300) || "The service refused this.");
  });
  document.addEventListener("htmx:sendError", () => say("The service does not answer, or the images are too large."));
  find("[data-without-script]").hidden = true; // images are searched for as soon as they are chosen
  if (narrow.matches) all("[data-wide]").forEach((part) => part.removeAttribute("open"));
})();
