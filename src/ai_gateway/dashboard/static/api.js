// The admin API, with the session's cookie. Errors carry the gateway's own words.
export const session = { state: "unknown" };

export async function api(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET") headers["x-csrf-token"] = session.csrf ?? "";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  const data = text ? JSON.parse(text) : null;
  if (answer.ok) return data;
  if (answer.status === 401 && session.state === "signed_in") {
    session.state = "signed_out";
    location.reload();
  }
  const error = new Error(data?.error?.message ?? `The gateway answered ${answer.status}.`);
  error.status = answer.status;
  throw error;
}
export const get = (path, query = {}) => {
  const given = Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return api("GET", given.length ? `${path}?${new URLSearchParams(given)}` : path);
};
export const may = (...roles) => roles.includes(session.role);
