/** VS Code has a chat view, and answers there, only with a default participant and a model. */

const vscode = require("vscode");

const MODEL = {
  name: "Silent",
  vendor: "tests",
  family: "silent",
  version: "1",
  maxInputTokens: 1000,
  maxOutputTokens: 1000,
  isDefault: true,
  isUserSelectable: true,
};

exports.activate = (context) => {
  const model = {
    provideLanguageModelResponse: () => Promise.reject(new Error("nobody asks this model")),
    provideTokenCount: () => Promise.resolve(1),
  };
  context.subscriptions.push(
    vscode.lm.registerChatModelProvider("silent", model, MODEL),
    vscode.chat.createChatParticipant("tests.host", () => ({})),
  );
};
