// Help on keys, and the switch that turns single-key shortcuts off (they get in the way of speech input).
import { say } from "./say.js";

const HELP = [["j / k", "js.help.move"], ["Enter", "js.help.open"], ["a", "js.help.ack"], ["i", "js.help.investigate"], ["/", "js.help.filter"], ["y", "js.help.copy"], ["Esc", "js.help.leave"], ["?", "js.help.help"]];

export const shortcutsOn = () => localStorage.getItem("vedette.keys") !== "off";

export function helpDialog() {
  document.querySelector("dialog")?.remove();
  const dialog = document.body.appendChild(document.createElement("dialog"));
  const heading = dialog.appendChild(document.createElement("h2"));
  heading.textContent = say("js.help.title");
  const keys = dialog.appendChild(document.createElement("dl"));
  for (const [key, id] of HELP) {
    const dt = keys.appendChild(document.createElement("dt"));
    dt.appendChild(document.createElement("kbd")).textContent = key;
    keys.appendChild(document.createElement("dd")).textContent = say(id);
  }
  const label = dialog.appendChild(document.createElement("label"));
  const box = label.appendChild(document.createElement("input"));
  box.type = "checkbox";
  box.checked = shortcutsOn();
  box.addEventListener("change", () => localStorage.setItem("vedette.keys", box.checked ? "on" : "off"));
  label.append(say("js.help.off"));
  const close = dialog.appendChild(document.createElement("button"));
  close.textContent = say("js.help.close");
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}
