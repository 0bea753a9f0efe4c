// A button that copies a command.
import { say } from "./say.js";

for (const box of document.querySelectorAll("pre.copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = say("js.copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(box.querySelector("code").textContent);
    button.textContent = say("js.copied");
  });
  box.append(button);
}
