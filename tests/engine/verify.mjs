// Reads requests as JSON lines ({"secret", "headers", "body"}) and judges each with npm's `standardwebhooks`.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Webhook } = createRequire(process.argv[2] + "/")("standardwebhooks");

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("valid");
  } catch (error) {
    console.log(error.message);
  }
}
