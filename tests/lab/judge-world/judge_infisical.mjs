// Infisical's own client for Node against the double.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";

// The packages lie in the cache, not beside this file.
const { InfisicalSDK } = createRequire(process.env.NODE_FOLDER + "/")("@infisical/sdk");
const keys = JSON.parse(readFileSync(process.env.WORLD_WORK_DIR + "/credentials.json"));
const where = { environment: "prod", projectId: keys.infisical_project_id, secretPath: "/skykeep" };
const client = new InfisicalSDK({ siteUrl: "https://eu.infisical.com" });
let passed = 0;
let failed = 0;

async function check(name, body) {
  try {
    await body();
    console.log(`ok    ${name}`);
    passed += 1;
  } catch (error) {
    console.log(`FAIL  ${name}: ${error.message}`);
    failed += 1;
  }
}

await check("a stranger is refused", () => assert.rejects(client.secrets().listSecrets(where)));
await check("a wrong client secret is refused", () =>
  assert.rejects(client.auth().universalAuth.login({ clientId: keys.infisical_client_id, clientSecret: "0".repeat(64) })));
await check("the machine identity logs in", () =>
  client.auth().universalAuth.login({ clientId: keys.infisical_client_id, clientSecret: keys.infisical_client_secret }));
await check("all secrets are listed with their values", async () => {
  const { secrets } = await client.secrets().listSecrets({ ...where, viewSecretValue: true });
  const found = Object.fromEntries(secrets.map((secret) => [secret.secretKey, secret.secretValue]));
  assert.equal(Object.keys(found).length, 14);
  assert.equal(found.GITHUB_TOKEN, keys.github_token);
});
await check("one secret is read by name", async () => {
  const secret = await client.secrets().getSecret({ ...where, secretName: "RESTIC_PASSWORD", viewSecretValue: true });
  assert.equal(secret.secretValue, keys.restic_password);
});
await check("an absent secret and an absent folder are errors", async () => {
  await assert.rejects(client.secrets().getSecret({ ...where, secretName: "NOTHING" }));
  await assert.rejects(client.secrets().listSecrets({ ...where, secretPath: "/elsewhere" }));
});
console.log(`${passed} passed, ${failed} failed`);
