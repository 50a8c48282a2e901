/** A short run of test/fuzz/http1-requests.ts, the same every time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { examine, mutate, randomFrom } from "../../../fuzz/http1-requests.ts";

test("no mutated request makes a server see one that the relay did not send", async () => {
  const random = randomFrom(20_260_101);
  for (let index = 0; index < 1_500; index++)
    assert.equal(await examine(mutate(random), random), undefined, `input ${index}`);
});
