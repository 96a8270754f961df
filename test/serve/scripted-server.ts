/** A server with a scripted model, and what is asked of it. */

import { startServer } from "./running-server.ts";
import { ScriptedSession, says, scriptedModel } from "./scripted-session.ts";

export const CHAT = "/v1/chat/completions";
export const chat = { model: "scripted", messages: [{ role: "user", content: "Hi" }] };
export const completion = { model: "scripted", prompt: "Hi" };

export const newSession = (text = "Hello.", slots = 8) => new ScriptedSession(() => says(text), slots);
export const serve = (options = {}, session = newSession()) => startServer(scriptedModel(session), options);
