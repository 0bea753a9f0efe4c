// Judging an alert through the API: the revision seen goes along, and a conflict shows what the other person did.
import { say } from "./say.js";

const csrf = document.body.dataset.csrf ?? "";
export const mayTriage = document.body.dataset.triage === "true";

/** @returns {Promise<{alert: any, words: string}>} the alert as it is now, and what to tell the person */
export async function triage(alert, action, extra = {}) {
  if (!mayTriage) return { alert, words: say("js.failed", { why: say("js.denied") }) };
  let response;
  try {
    response = await fetch(`/api/v1/alerts/${alert.id}/triage`, {
      method: "POST", credentials: "same-origin",
      headers: { "Content-Type": "application/json", "If-Match": `"${alert.revision}"`, "X-Csrf-Token": csrf },
      body: JSON.stringify({ action, ...extra }),
    });
  } catch (error) {
    return { alert, words: say("js.failed", { why: String(error.message ?? error) }) };
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return { alert: body.alert, words: body.changed ? say("js.done", { state: say(`state.${body.alert.state}`) }) : say("js.same") };
  if (response.status === 409 && body.current) {
    return { alert: body.current, words: say("js.conflict", { who: body.current.owner ?? "–", state: say(`state.${body.current.state}`) }) };
  }
  const chinese = document.documentElement.lang.startsWith("zh");
  const why = (chinese ? body.detail_zh || body.title_zh : body.detail || body.title) ?? String(response.status);
  return { alert, words: say("js.failed", { why }) };
}
